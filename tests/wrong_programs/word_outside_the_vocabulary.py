# raises: IndexError
# op: embedding
# module: Classifier.words: Embedding(100 -> 8)
# hint: num_embeddings is one more than the largest index

import lucidlite as torch
from lucidlite import nn


class Classifier(nn.Module):
    def __init__(self, vocabulary):
        super().__init__()
        self.words = nn.Embedding(vocabulary, 8)
        self.head = nn.Linear(8, 2)

    def forward(self, text):
        return self.head(self.words(text).mean(1))  # <- here


Classifier(100)(torch.tensor([[1, 5, 100], [2, 0, 7]]))
