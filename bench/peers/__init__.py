"""What we are measured beside, each as its own documents say it is done."""
