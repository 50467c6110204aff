"""`python -m sdcda_tutorial` is `sdcda`."""

from sdcda_tutorial.cli import main

if __name__ == "__main__":
    main()
