"""The mini world: what a scene is, how it is drawn, and how it is written in each native format."""

from sdcda_tutorial.scenes.drawing import Rendering, render
from sdcda_tutorial.scenes.mini_world import MiniWorldSettings, ensure_mini_world
from sdcda_tutorial.scenes.scene import Person, Scene, sample_scene

__all__ = ["MiniWorldSettings", "Person", "Rendering", "Scene", "ensure_mini_world", "render", "sample_scene"]
