"""What publishing and downloading stand on: the session, what the chain says, manifests, verifying."""
