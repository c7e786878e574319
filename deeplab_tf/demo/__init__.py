"""The page of `deeplab-tf demo`: a network and the CRF on a photograph, in the browser.

From the photograph to the page: `uploads`, `labeling`, `results`; `page` has the controls, `guard`
lets only the page's own requests in, and `server` runs all of it. Only `page` and `server` need
Gradio.
"""
