module drainhook.example/worker

go 1.19
