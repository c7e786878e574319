"""Flags of a training of seconds."""

TINY = [
    "--backbone=mobilenetv2",
    "--head=large_fov",
    "--weights=none",
    "--bn_momentum=0.9",
    "--learning_rate=1e-3",
    "--batch_size=2",
    "--crop_size=65",
    "--eval_images=1",
    "--log_every=2",
    "--deterministic",
]
