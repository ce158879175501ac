"""The hands of the worker: the only code that starts programs, speaks HTTP to tasks' servers, and sends mail."""
