"""Many images on many machines: work that is independent for each image, on a Ray cluster.

`session` connects to Ray, `pool` keeps workers busy and replaces those that die, and the modules
`labeler`, `scorer` and `searcher` have the workers of `predict`, `evaluate` and `search-crf`.
Nothing here imports Ray or pyarrow before it is used.
"""
