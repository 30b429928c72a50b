"""The status page: HTML and SVG drawn here, readable without JavaScript, with nothing from elsewhere."""
