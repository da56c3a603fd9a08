module warren/environment/stand-ins

go 1.26.0
