"""The static model, a bag of subwords: its tokenizer, its first vectors, its training, its final vectors."""
