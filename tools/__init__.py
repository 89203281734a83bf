"""Programs that prepare and check the project; nothing that is deployed is here."""
