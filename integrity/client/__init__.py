"""The whole jobs - publish, resolve, get, verify - put together from the parts below."""
