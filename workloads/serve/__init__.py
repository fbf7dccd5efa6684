"""The server: clients reach a running mix over HTTP, by the Open Inference Protocol (KServe v2).

`protocol` and `tensors` turn bodies into requests and results into bodies, and do no I/O. `gateway` sends requests to a
deployment, within bounds, and counts. `app` has the routes, `listener` the sockets.
"""
