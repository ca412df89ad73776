//! What the container image adds, as far as it can be seen without a container engine: the files it is made of and is run
//! with, and what the server makes of its environment. `tests/docker.sh` uses the built image itself.

mod environment;
mod files;
