"""Where do images come from? Named sets, folders, tables, arrays, the hub."""
