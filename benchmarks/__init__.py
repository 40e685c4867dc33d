"""What the documentation's figures come from: each module is a script that anyone can run."""
