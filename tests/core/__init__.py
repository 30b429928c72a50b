"""The values that every room uses, and the files and processes they stand on."""
