from fastapi import FastAPI

app = FastAPI()  # of the tests: no service
