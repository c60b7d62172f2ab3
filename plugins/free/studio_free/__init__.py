"""Studio's explicit null owner of cost: everything is allowed and nothing is charged."""
