"""The bag of subwords: a static model, before and after its training."""
