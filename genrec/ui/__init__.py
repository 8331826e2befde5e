"""All of the browser app. It renders what the assistant yields and decides nothing."""
