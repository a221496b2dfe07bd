"""What two phases of SCoRe need: types and files, the dialogue, the model client, the interpreter, answers."""
