"""PyTorch: channels last, fused Adam, data in memory as bytes."""

import numpy as np
import torch
from torch import nn

from benchmarks.ways import clock

torch.manual_seed(0)
images, labels, batches = clock.data()
x_train, y_train = torch.from_numpy(images)[:, None], torch.from_numpy(labels.astype(np.int64))
model = nn.Sequential(
    *(nn.Conv2d(1, 16, 5, padding=2), nn.MaxPool2d(2), nn.ReLU()),
    *(nn.Conv2d(16, 36, 5, padding=2), nn.MaxPool2d(2), nn.ReLU()),
    *(nn.Flatten(), nn.Linear(1764, 128), nn.ReLU(), nn.Linear(128, 10)),
).to(memory_format=torch.channels_last)
optimizer = torch.optim.Adam(model.parameters(), lr=1e-4, eps=1e-8, fused=True)


def train(rows: np.ndarray) -> None:
    for batch in torch.from_numpy(rows.astype(np.int64)):
        x = (x_train[batch].float() / 255).contiguous(memory_format=torch.channels_last)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y_train[batch]).backward()
        optimizer.step()


clock.measure(train, batches)
