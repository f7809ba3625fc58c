"""What is said: values that are checked when they are made and never change afterwards."""
