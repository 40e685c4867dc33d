"""Smaller files: llama.cpp's quantizations of a whole GGUF."""

from minirl.export.quantize.mixture import QUANTIZATIONS
from minirl.export.quantize.run import Quantizer, find_quantizer, quantize

__all__ = ["QUANTIZATIONS", "Quantizer", "find_quantizer", "quantize"]
