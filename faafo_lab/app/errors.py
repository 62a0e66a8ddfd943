"""What can go wrong in the application.

AppError                  one clear sentence
├── RequestError          the API refuses a request; carries the HTTP status
│   ├── BadRequest            400  the body or an argument is wrong; names the field
│   ├── Unauthorized          401  the deployment's secret is missing
│   ├── Forbidden             403  the secret is wrong
│   ├── NotFound              404
│   ├── Conflict              409  the uuid is taken by another fractal
│   ├── TooLarge              413
│   ├── OutOfRange            416  an image has no such bytes
│   └── TooManyWaiting        503  as many fractals wait as the deployment accepts (ask again soon)
├── DatabaseAway          the database does not answer (API: 503, ask again soon)
├── BrokerAway            the message broker does not answer
├── FilesAway             a place of files does not answer, or is full (API: 503)
│   └── ImagesAway            that of the images
├── BackupError           a backup can't be made, or restored, as asked
├── SettingsError         an option or an environment variable is wrong
└── ApiError              what a client of the API meets
    ├── ApiAway               nobody answers, or the API says 5xx: trying again may help
    └── ApiRefused            the API says 4xx: trying again does not help
"""


class AppError(Exception):
    """Root of the application's errors; ``str()`` is one clear sentence."""


class RequestError(AppError):
    """The API refuses a request."""

    status = 400


class BadRequest(RequestError):
    """A field of the body, or an argument, is wrong."""


class Unauthorized(RequestError):
    """The deployment's secret is missing."""

    status = 401


class Forbidden(RequestError):
    """The secret is wrong."""

    status = 403


class NotFound(RequestError):
    """There is no such thing."""

    status = 404


class Conflict(RequestError):
    """The uuid is taken by another fractal."""

    status = 409


class TooLarge(RequestError):
    """The body is too long."""

    status = 413


class OutOfRange(RequestError):
    """An image has no such bytes; ``size`` is how many it has."""

    status = 416

    def __init__(self, size: int):
        super().__init__(f"'Range' must be within the image, which has {size} bytes.")
        self.size = size


class TooManyWaiting(RequestError):
    """As many fractals wait as the deployment accepts."""

    status = 503


class DatabaseAway(AppError):
    """The database does not answer."""


class BrokerAway(AppError):
    """The message broker does not answer."""


class FilesAway(AppError):
    """A place of files does not answer, or is full."""


class ImagesAway(FilesAway):
    """The place of the images does not answer, or is full."""


class BackupError(AppError):
    """A backup can't be made, or restored, as asked."""


class SettingsError(AppError):
    """An option or an environment variable is wrong."""


class ApiError(AppError):
    """What a client of the API meets."""


class ApiAway(ApiError):
    """Nobody answers at the endpoint, or the API says 5xx."""


class ApiRefused(ApiError):
    """The API says 4xx."""

    def __init__(self, status: int, message: str):
        super().__init__(message)
        self.status = status
