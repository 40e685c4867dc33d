"""Doors to other libraries' environments; :data:`minirl.envs.registry.ADAPTERS` lists them."""
