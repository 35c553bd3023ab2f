"""What throws fruit out: adapters behind the port `Ejector`, and the loop that gives them their orders."""
