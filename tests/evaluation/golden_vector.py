"""Golden vector A of legacy RandomState streams: the reference packages' figures are known."""

import numpy as np
import torch

R = torch.from_numpy(np.random.RandomState(0).randn(1000, 64))
F = torch.from_numpy(np.random.RandomState(1).randn(1000, 64) * 1.1 + 0.2)
T = torch.from_numpy(np.random.RandomState(2).randn(1000, 64))
