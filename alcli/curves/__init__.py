"""The learning curve: its history, its forecast, and the statistics behind both."""
