"""The model server: pure parts by value, the application in process, the server as a real process."""
