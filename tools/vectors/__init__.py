"""What tools/make_vectors.py fills in: a module for each topic. Nothing of integrity's own code is used."""
