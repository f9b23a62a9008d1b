"""lessonkit."""
