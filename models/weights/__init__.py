"""The shipped models, one ``.safetensors`` file each."""
