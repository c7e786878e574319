"""What run.json says of the network that the flags build."""

from deeplab_tf.commands.flags.heads import read_heads
from deeplab_tf.commands.flags.scales import read_scales


def describe_network(flags, num_classes):
    """What the flags build, as a dict for people who read run.json."""
    fcn = flags.network == "fcn"
    what = {"stride": flags.fcn_stride} if fcn else {"head": flags.head}
    more = {} if fcn else {"output_stride": flags.output_stride, "scales": read_scales(flags)}
    return {
        "network": flags.network,
        "backbone": flags.backbone,
        **what,
        "num_classes": num_classes,
        **more,
        **({} if flags.input == "rgb" else {"input": flags.input}),
        **({"heads": read_heads(flags)} if flags.heads else {}),
    }
