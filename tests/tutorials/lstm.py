import torch
from torch import nn, optim
from torch.nn.utils.rnn import pack_padded_sequence
from torch.utils.data import DataLoader, TensorDataset


class LSTMClassifier(nn.Module):
    def __init__(
        self, vocab_size=8, embed_dim=16, hidden_dim=32, num_layers=1, num_classes=4, dropout=0.0
    ):
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, embed_dim, padding_idx=0)
        self.lstm = nn.LSTM(
            embed_dim, hidden_dim, num_layers=num_layers, batch_first=True, bidirectional=True
        )
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(2 * hidden_dim, num_classes)

    def forward(self, tokens, lengths):
        embedded = self.embedding(tokens)
        packed = pack_padded_sequence(
            embedded, lengths.cpu(), batch_first=True, enforce_sorted=False
        )
        _, (hidden, _) = self.lstm(packed)
        hidden = torch.cat((hidden[-2], hidden[-1]), dim=1)
        return self.fc(self.dropout(hidden))


def build(dropout=0.0):
    return LSTMClassifier(dropout=dropout)


def accuracy_of(model, loader, device):
    model.eval()
    correct = 0
    with torch.no_grad():
        for tokens, lengths, labels in loader:
            output = model(tokens.to(device), lengths)
            correct += (output.argmax(1) == labels.to(device)).type(torch.float).sum().item()
    return correct / len(loader.dataset)


def train(model, x_train, y_train, x_test, y_test, shuffle=False, epochs=5):
    device = next(model.parameters()).device

    def dataset(x, y):
        x = torch.as_tensor(x)
        return TensorDataset(x, (x != 0).sum(dim=1), torch.as_tensor(y))

    train_loader = DataLoader(dataset(x_train, y_train), batch_size=32, shuffle=shuffle)
    test_loader = DataLoader(dataset(x_test, y_test), batch_size=128)
    loss_fn = nn.CrossEntropyLoss()
    optimizer = optim.Adam(model.parameters(), lr=1e-2)
    losses = []
    for epoch in range(epochs):
        model.train()
        for tokens, lengths, labels in train_loader:
            tokens, labels = tokens.to(device), labels.to(device)
            pred = model(tokens, lengths)
            loss = loss_fn(pred, labels)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm=1.0)
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss.item())
    return losses, accuracy_of(model, test_loader, device)


# ruff: noqa: B007  (typed as tutorials have it)
