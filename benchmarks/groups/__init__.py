"""Each module measures one group of rows."""
