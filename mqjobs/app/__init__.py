"""The app: settings, logging, what is opened in which order, and the command line."""
