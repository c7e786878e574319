"""The published networks in PyTorch, for the workers that measure it; needs only torch.

They take preprocessed images (B, 3, H, W) and give scores (B, 21, h, w) at output stride 8; the
networks of torch_mobile.py also at 16.
"""

from torch import nn
from torch.nn import functional
from torch_mobile import MOBILE_NETWORKS

ASPP_L_RATES = (6, 12, 18, 24)
VGG16_BLOCKS = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))
RESNET101_BLOCKS = (3, 4, 23, 3)


class VGG16LargeFOV(nn.Module):
    """DeepLab-LargeFOV: no stride in the last two poolings, dilation rate 2 in conv5, 12 in fc6."""

    def __init__(self, num_classes):
        super().__init__()
        self.blocks, channels = nn.ModuleList(), 3
        for block, (count, width) in enumerate(VGG16_BLOCKS):
            rate, layers = (2 if block == 4 else 1), []
            for _ in range(count):
                layers += [
                    nn.Conv2d(channels, width, 3, padding=rate, dilation=rate),
                    nn.ReLU(True),
                ]
                channels = width
            self.blocks.append(nn.Sequential(*layers))
        self.fc6 = nn.Conv2d(512, 1024, 3, padding=12, dilation=12)
        self.fc7 = nn.Conv2d(1024, 1024, 1)
        self.fc8 = nn.Conv2d(1024, num_classes, 1)

    def forward(self, x):
        """Scores of images."""
        for block, convolutions in enumerate(self.blocks):
            x = convolutions(x)
            if block < 3:
                x = functional.max_pool2d(x, 2, ceil_mode=True)
            else:
                x = functional.max_pool2d(functional.pad(x, (0, 1, 0, 1)), 2, stride=1)
        for layer in (self.fc6, self.fc7):
            x = functional.dropout(functional.relu(layer(x), True), 0.5, self.training)
        return self.fc8(x)


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolution, plus the identity or a 1x1 convolution."""

    def __init__(self, channels, width, stride, rate, widen):
        super().__init__()
        # Like keras.applications', these convolutions have a bias, and the first the stride.
        self.body = nn.Sequential(
            nn.Conv2d(channels, width, 1, stride),
            nn.BatchNorm2d(width),
            nn.ReLU(True),
            nn.Conv2d(width, width, 3, padding=rate, dilation=rate),
            nn.BatchNorm2d(width),
            nn.ReLU(True),
            nn.Conv2d(width, 4 * width, 1),
            nn.BatchNorm2d(4 * width),
        )
        self.side = nn.Identity()
        if widen:
            side = nn.Conv2d(channels, 4 * width, 1, stride)
            self.side = nn.Sequential(side, nn.BatchNorm2d(4 * width))

    def forward(self, x):
        """The block's result, after its last ReLU."""
        return functional.relu(self.body(x) + self.side(x), True)


class ResNet101ASPPL(nn.Module):
    """DeepLab v2: dilation rates 2 and 4 in the last stages, and the sum of four 3x3 branches."""

    def __init__(self, num_classes):
        super().__init__()
        layers = [nn.Conv2d(3, 64, 7, 2, 3), nn.BatchNorm2d(64), nn.ReLU(True)]
        layers.append(nn.MaxPool2d(3, 2, 1))
        channels = 64
        for stage, count in enumerate(RESNET101_BLOCKS):
            width, rate = 64 * 2**stage, max(1, 2 ** (stage - 1))
            for block in range(count):
                stride = 2 if stage == 1 and block == 0 else 1
                layers.append(Bottleneck(channels, width, stride, rate, block == 0))
                channels = 4 * width
        self.base = nn.Sequential(*layers)
        self.fc8 = nn.ModuleList(
            nn.Conv2d(channels, num_classes, 3, padding=rate, dilation=rate)
            for rate in ASPP_L_RATES
        )

    def forward(self, x):
        """Scores of images."""
        x = self.base(x)
        return sum(branch(x) for branch in self.fc8)


# Their batch normalization is frozen in training, as published.
FROZEN = {"vgg16_large_fov": VGG16LargeFOV, "resnet101_aspp_l": ResNet101ASPPL}
NETWORKS = {**FROZEN, **MOBILE_NETWORKS}


def count_parameters(network):
    """Number of parameters including the statistics of batch normalization, as Keras counts."""
    statistics = [
        tensor
        for name, tensor in network.named_buffers()
        if not name.endswith("num_batches_tracked")
    ]
    return sum(tensor.numel() for tensor in (*network.parameters(), *statistics))


def freeze_batch_norm(network):
    """Freeze statistics, scales and offsets; call it after `network.train()`."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
            for parameter in module.parameters():
                parameter.requires_grad = False


def parameter_groups(network, rate, decay):
    """Parameter groups with the published multipliers of the learning rate.

    It is multiplied by 10 for the classifier and by 2 for biases, which have no weight decay.
    """
    groups = []
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            factor = (10 if "fc8" in name else 1) * (2 if name.endswith("bias") else 1)
            groups.append((factor, 0 if name.endswith("bias") else decay, parameter))
    return [
        {
            "params": [p for *found, p in groups if tuple(found) == key],
            "lr": rate * key[0],
            "weight_decay": key[1],
        }
        for key in sorted({tuple(found) for *found, _ in groups})
    ]


def cross_entropy(scores, labels):
    """Mean cross-entropy of scores (B, C, h, w), at the cells' centers in labels (B, H, W)."""
    stride = (labels.shape[1] - 1) // (scores.shape[2] - 1)
    labels = labels[:, ::stride, ::stride].long()
    return functional.cross_entropy(scores.float(), labels, ignore_index=255)
