"""Features from SQL, and the model that scores them."""
