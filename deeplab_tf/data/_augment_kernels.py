"""The loops over pixels of `augment.py`, compiled by Numba.

They give the results of `tf.image.resize` in float32. If m pixels are resized to n, the center of
new pixel i lies at (i + 0.5) m / n - 0.5 among the old pixels.
"""

import numpy as np

from crf.compile import kernel

_HALF = np.float32(0.5)


@kernel
def resample_image(image, offset, size, scaled, corner, mirrored, padding, out):
    """Resize an image bilinearly and write a crop of it, computing only the crop's pixels.

    Args:
      image: (h, w, C) uint8; a part of the image is enough if it covers the crop.
      offset: (row, column) in this array of the image's first pixel; negative for a part.
      size: (height, width) of the image.
      scaled: (height, width) of the resized image.
      corner: (row, column) of the resized image where the crop begins.
      mirrored: whether left and right are swapped.
      padding: (C,) float32, color of the pixels below and to the right of the resized image.
      out: (crop, crop, C) float32, receives the crop.

    Returns:
      Number of rows and of columns of the crop that are not padding.
    """
    channels = image.shape[2]
    rows, columns = _filled(out.shape[0], scaled, corner)
    first, _, _ = _neighbors(corner[1], size[1], scaled[1])
    _, last, _ = _neighbors(corner[1] + columns - 1, size[1], scaled[1])
    # Each column of the crop lies between two columns of the image. Their places in the row of
    # color values that starts at column `first`:
    lefts, rights = np.empty(columns, np.uint32), np.empty(columns, np.uint32)
    weights = np.empty(columns, np.float32)
    for j in range(columns):
        low, high, weight = _neighbors(corner[1] + j, size[1], scaled[1])
        place = columns - 1 - j if mirrored else j
        lefts[place], rights[place] = channels * (low - first), channels * (high - first)
        weights[place] = weight
    flat = image.reshape(image.shape[0], -1)
    used = slice(channels * (first + offset[1]), channels * (last + 1 + offset[1]))
    row = np.empty(used.stop - used.start, np.float32)
    begin = out.shape[0] - columns if mirrored else 0
    # Blend two rows of the image first, then interpolate between the columns of the blended row.
    for i in range(rows):
        low, high, weight = _neighbors(corner[0] + i, size[0], scaled[0])
        _mix(flat[low + offset[0], used], flat[high + offset[0], used], weight, row)
        _spread(row, lefts, rights, weights, out[i, begin : begin + columns])
    _pad(out, rows, columns, mirrored, padding)
    return rows, columns


@kernel
def resample_label(label, offset, size, scaled, corner, mirrored, void, out):
    """Resize a label map by taking the nearest pixel, and write a crop of it.

    Args:
      label: (h, w) uint8.
      offset, size, scaled, corner, mirrored: as for `resample_image`.
      void: label of the pixels below and to the right of the resized label map.
      out: (crop, crop) uint8, receives the crop.
    """
    rows, columns = _filled(out.shape[0], scaled, corner)
    nearest = np.empty(columns, np.uint32)
    for j in range(columns):
        place = columns - 1 - j if mirrored else j
        nearest[place] = offset[1] + _nearest(corner[1] + j, size[1], scaled[1])
    begin = out.shape[0] - columns if mirrored else 0
    out[:] = void
    for i in range(rows):
        row = label[offset[0] + _nearest(corner[0] + i, size[0], scaled[0])]
        for j in range(columns):
            out[i, begin + j] = row[nearest[j]]


@kernel
def change_colors(image, rows, columns, mirrored, change):
    """Change the colors of a crop, except in its padding, and limit them to 0..255.

    Args:
      image: (crop, crop, C) float32, changed in place; channels after the third stay.
      rows, columns, mirrored: the part that is not padding; see `resample_image`.
      change: (3, 4) float32; see `deeplab_tf.data.augment.random_jitter`.
    """
    begin = image.shape[1] - columns if mirrored else 0
    low, high = np.float32(0), np.float32(255)
    for i in range(rows):
        for j in range(begin, begin + columns):
            r, g, b = image[i, j, 0], image[i, j, 1], image[i, j, 2]
            for c in range(3):
                value = change[c, 0] * r + change[c, 1] * g + change[c, 2] * b + change[c, 3]
                image[i, j, c] = min(max(value, low), high)


@kernel
def _filled(crop, scaled, corner):
    # Rows and columns of the crop that the resized image fills.
    return min(crop, scaled[0] - corner[0]), min(crop, scaled[1] - corner[1])


@kernel
def _neighbors(position, size, scaled):
    # The old pixels before and after the center of a new pixel, and the weight of the second.
    ratio = np.float32(size) / np.float32(scaled)
    center = (np.float32(position) + _HALF) * ratio - _HALF
    low = np.floor(center)
    return max(int(low), 0), min(int(np.ceil(center)), size - 1), center - low


@kernel
def _nearest(position, size, scaled):
    ratio = np.float32(size) / np.float32(scaled)
    return min(int(np.floor((np.float32(position) + _HALF) * ratio)), size - 1)


@kernel
def _mix(above, below, weight, row):
    # Interpolate between two rows of color values; `row` receives the result.
    for k in range(len(row)):
        value = np.float32(above[k])
        row[k] = value + (np.float32(below[k]) - value) * weight


@kernel
def _spread(row, lefts, rights, weights, out):
    # Interpolate between the columns of a row. The indices are unsigned, because a signed one
    # may count from the end, which costs a comparison for each access.
    channels = out.shape[1]
    for j in range(len(weights)):
        left, right, weight = lefts[j], rights[j], weights[j]
        for c in range(3):  # the compiler unrolls a loop of constant length
            value = row[left + np.uint32(c)]
            out[j, c] = value + (row[right + np.uint32(c)] - value) * weight
        for c in range(3, channels):
            value = row[left + np.uint32(c)]
            out[j, c] = value + (row[right + np.uint32(c)] - value) * weight


@kernel
def _pad(out, rows, columns, mirrored, padding):
    # Padding is at the bottom, and on the right or, in a mirrored crop, on the left.
    crop = out.shape[0]
    begin = 0 if mirrored else columns
    for i in range(crop):
        first, last = (begin, begin + crop - columns) if i < rows else (0, crop)
        for j in range(first, last):
            for c in range(len(padding)):
                out[i, j, c] = padding[c]
