"""The mini world: what a scene is, how it is sampled and rendered, and how it is written in each native format."""

from sdcda_tutorial.mini_world.drawing import Rendering, render
from sdcda_tutorial.mini_world.on_demand import open_mini_world
from sdcda_tutorial.mini_world.sampling import sample_scene
from sdcda_tutorial.mini_world.scene import Person, Scene
from sdcda_tutorial.mini_world.world import MiniWorldSettings, ensure_mini_world

__all__ = [
    "MiniWorldSettings",
    "Person",
    "Rendering",
    "Scene",
    "ensure_mini_world",
    "open_mini_world",
    "render",
    "sample_scene",
]
