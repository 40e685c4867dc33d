"""What training did to a model: base against tuned with many samples a task, and a verdict."""
