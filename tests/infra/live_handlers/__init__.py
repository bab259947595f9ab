"""How resources become requests, as the AWS provider would send them."""
