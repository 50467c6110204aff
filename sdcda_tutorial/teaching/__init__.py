"""What only the notebooks need: helpers, the drawing of the method, demos and exercises."""
