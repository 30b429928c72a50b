"""Objects and files: what lies where, and copies between any two places, checked, resumable, in constant memory."""
