"""The command line of bodybench."""
