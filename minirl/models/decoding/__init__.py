"""minirl's own decoding: what rows share is computed and kept once, and only tokens that are new
are computed.

- :mod:`~minirl.models.decoding.drawing`: a token from logits.
- :mod:`~minirl.models.decoding.store`: the keys and values of prompts, and of what follows them.
- :mod:`~minirl.models.decoding.passes`: who attends to what in one forward pass.
- :mod:`~minirl.models.decoding.forward`: a transformers model, run over packed tokens that way.
- :mod:`~minirl.models.decoding.fit`: whether a model can be run so.
- :mod:`~minirl.models.decoding.products`: matrix products the fast way round, and
  :mod:`~minirl.models.decoding.halves`: with weights of 16 bits.
- :mod:`~minirl.models.decoding.rows`: rows that enter, are written and leave.
- :mod:`~minirl.models.decoding.plain`: the plain way, for models that do not fit.
"""
