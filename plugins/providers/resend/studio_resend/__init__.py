"""Mail through Resend, and its news of deliveries."""
