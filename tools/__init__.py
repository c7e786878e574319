"""The scripts that run the commands; in a wheel, the package `deeplab_tf_tools`."""
