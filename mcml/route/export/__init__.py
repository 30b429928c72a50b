"""The routes as others run them (Gateway API, Istio, plain Envoy), and the router itself on Kubernetes. Pure: values in, manifests out."""
