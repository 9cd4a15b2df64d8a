"""Help for tests of programs that use this library, and of this library itself."""
