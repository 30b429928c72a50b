"""What people and their tools look at: the control port with its status page, history, metrics, the API's description, logs."""
